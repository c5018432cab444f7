import pytest

from sottovoce.errors import UsageError
from sottovoce.model.request import CaseKind, case_kind


@pytest.mark.parametrize("kind", list(CaseKind))
def test_a_kind_of_request_is_read_by_its_word(kind):
    assert case_kind(str(kind)) is kind


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(UsageError) as caught:
        case_kind("Erasure ")
    assert caught.value.reason == "kind_unknown"
    assert all(str(kind) in caught.value.hint for kind in CaseKind)
