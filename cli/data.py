"""`ap-data`: motion files, labels and bodies become shards that training reads."""

from __future__ import annotations

import logging
import sys

import click

from cli import benchmark_files, build, doctor, import_motion, look, validate
from cli.app import Group, version_option


@click.group(cls=Group, extra="data")
@version_option()
def main() -> None:
    """Prepare motion and labels: AMASS + BABEL + SMPL+H → Human3.6M keypoints at 30 Hz → views → pairs → shards.

    Start with `ap-data demo --out demo`: a small world in the same file formats, no licence needed.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s", force=True)
    logging.getLogger("distributed").setLevel(logging.ERROR)


for command in (
    build.demo,
    build.index,
    build.keypoints,
    build.project_2d,
    build.pairs,
    build.build_babel,
    build.status,
    benchmark_files.build_h36m,
    benchmark_files.build_3dhp,
    import_motion.import_motion,
    doctor.doctor,
    doctor.convert_model,
    look.inspect,
    look.preview,
    look.report,
    validate.validate,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
