"""Sessions to which bad things happen at random moments are true and tidy afterwards: a little of the chaos by hand."""

import pytest

from tests.attack import chaos


@pytest.mark.parametrize("session", [0, 1])
def test_a_session_to_which_bad_things_happen_is_true_and_tidy_afterwards(session: int) -> None:
    _, findings = chaos.run(seed=20261201, first=session, sessions=1)
    assert findings == []
