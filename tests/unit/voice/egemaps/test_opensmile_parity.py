"""Optional: parity of `compat` with an installed openSMILE (specification 17.1); its values are written nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from sottovoce.model.features import FEATURE_NAMES

pytestmark = [pytest.mark.opensmile, pytest.mark.shared]


@pytest.fixture(scope="module")
def comparison(load_script, shared_data):
    opensmile = pytest.importorskip("opensmile", reason="the package opensmile is not installed (optional)")
    module = load_script("scripts/compare_opensmile.py")
    options = module.arguments(
        ["--clips", "12", "--seconds", "5", "--rate", "16000", "--data", str(shared_data)]
    )
    pairs = module.compare(module.choose(options), opensmile)
    return module, np.array([module.differences(pair) for pair in pairs])


def test_features_agree_with_the_reference_within_the_stated_bounds(comparison):
    """On real speech the 68 features without formants agree with the reference within 0.01 %."""
    module, table = comparison
    assert len(table) == 12
    for group in module.GROUPS:
        if not set(group.indices) & set(module.FORMANTS):
            assert table[:, group.indices].max() <= group.bound, group.title


def test_formants_agree_as_far_as_they_are_defined(comparison):
    """The features that depend on polynomial roots agree within the wider stated bounds, but for one in a hundred."""
    module, table = comparison
    bounds = np.zeros(len(FEATURE_NAMES))
    for group in module.GROUPS:
        for i in group.indices:
            bounds[i] = group.spread_bound if FEATURE_NAMES[i].endswith("_stddevNorm") else group.bound
    assert np.mean(table[:, module.FORMANTS] <= bounds[list(module.FORMANTS)]) >= 0.99
