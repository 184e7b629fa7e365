#!/usr/bin/env bash
# Train the model that is shipped in actionpose/lift/assets, from shards of the open motion (docs/model-card.md).
# About two hours on one core. The seed fixes every draw; the same kind of machine gives the same weights.
#
#     scripts/train_shipped_model.sh SHARDS RUNS
set -euo pipefail

shards=$1 runs=$2
# Whom data.dev_share=0.06 kept apart when the model was trained; it goes by other names today (CHANGELOG).
aside='["OpenCMU/140","OpenCMU/16","OpenCMU/28","OpenCMU/31","OpenCMU/79","OpenCMUJoin/144","OpenCMUJoin/30",
  "OpenCMUJoin/75","OpenCMUJoin/76","OpenCMUJoin/83"]'
common=(--data "$shards" -o "data.subjects_exclude=$aside" -o pretrain.eval_every=0 -o run.seed=0 -o run.threads=1)

# Poses and texts, from the front and the side.
ap-train pretrain -c small "${common[@]}" --out "$runs/small" -o pretrain.steps=3000

# From anywhere, with masks from the first step: the weights are trained already.
ap-train pretrain -c small -c anywhere "${common[@]}" --init "$runs/small" -o init.heads=true --out "$runs/anywhere" \
  -o corrupt.masks_from=0 -o pretrain.lr=2e-3 -o pretrain.steps=3200 -o heads.clips=6000

# Pack the last run into actionpose/lift/assets, and say what half precision costs.
python "$(dirname "$0")/pack_model.py" "$runs/anywhere" "$shards"
