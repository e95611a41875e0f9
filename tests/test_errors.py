"""Messages of a user's mistakes."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from keras_classics.errors import UserError


@given(name=st.text(max_size=40))
def test_a_message_is_one_line_whatever_it_names(name):
    message = str(UserError(f"{name} is not there."))
    assert message.isprintable()
    assert message.endswith(" is not there.")
    # A message may repeat another.
    assert str(UserError(message)) == message
    assert str(pickle.loads(pickle.dumps(UserError(name)))) == str(UserError(name))
