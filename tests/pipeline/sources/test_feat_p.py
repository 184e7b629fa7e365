"""A BABEL path finds its motion under both generations of names, and no other."""

from __future__ import annotations

import pytest

from pipeline.sources.feat_p import Timing, motion_at, motions_by_path, path_key


def known(*sources: str) -> dict[str, Timing]:
    return motions_by_path(Timing(source, source, 100, 120.0, 120.0) for source in sources)


@pytest.mark.parametrize(
    ("source", "feat_p"),
    [
        ("CMU/01/01_01_poses.npz", "CMU/CMU/01/01_01_poses.npz"),
        ("CMU/CMU/01/01_01_poses.npz", "CMU/CMU/01/01_01_poses.npz"),
        (
            "BioMotionLab_NTroje/rub055/0020_lifting_heavy2_poses.npz",
            "BMLrub/BioMotionLab_NTroje/rub055/0020_lifting_heavy2_poses.npz",
        ),
        (
            "BMLrub/rub055/0020_lifting_heavy2_poses.npz",
            "BMLrub/BioMotionLab_NTroje/rub055/0020_lifting_heavy2_poses.npz",
        ),
        ("HDM05/dg/HDM_dg_01_poses.npz", "MPIHDM05/MPI_HDM05/dg/HDM_dg_01_poses.npz"),
        ("ACCAD/Male1/D7_-_walk_to_bow_poses.npz", "ACCAD/ACCAD/Male1/D7 - walk to bow_poses.npz"),
        ("ACCAD/Male1/D7 - walk to bow_poses.npz", "ACCAD/ACCAD/Male1/D7_-_walk_to_bow_poses.npz"),
        ("OpenCMU/86/86_01_poses.npz", "OpenCMU/OpenCMU/86/86_01_poses.npz"),
    ],
)
def test_feat_p_finds_its_motion_under_both_generations_of_names(source, feat_p):
    found = motion_at(known(source, "KIT/1/other_poses.npz"), feat_p)
    assert found is not None
    assert found.source == source


def test_names_with_one_key_are_distinguished_by_their_parts():
    motions = known("KIT/1/walk_poses.npz", "KIT/11/walk_poses.npz")
    assert motion_at(motions, "KIT/KIT/11/walk_poses.npz") is motions["KIT/11/walk_poses.npz"]
    assert motion_at(motions, "KIT/KIT/1/Walk_stageii.npz") is motions["KIT/1/walk_poses.npz"]


def test_a_missing_path_is_not_guessed():
    assert motion_at(known("CMU/01/01_01_poses.npz"), "CMU/CMU/01/01_02_poses.npz") is None
    assert path_key("CMU/01/01_01_poses.npz") != path_key("KIT/01/01_01_poses.npz")
