"""What partners agree on about updates: the keys of a channel that decide how far a message reaches.

Imports rules.strict_yaml only.
"""

from typing import Literal, NamedTuple

from hl7auth.rules.strict_yaml import Strict

DeletePattern = Literal["all_fields", "first_field", "key"]


class Snapshot(Strict):
    """Snapshot mode (chapter 2, 2.10.4.1).

    `scope`: the set that an incoming set replaces: the authorizations of the referral (RF1-6; without one, of the
    request that is answered), those of the patient and payor, or no more than the message names. `delete_pattern`: the
    AUTs of `""` that delete a whole set. `empty`: what an empty field does to the stored value.
    """

    scope: Literal["message", "referral", "patient_and_payor"] = "referral"
    delete_pattern: tuple[DeletePattern, ...] = ("all_fields",)
    empty: Literal["clear", "keep"] = "clear"


class Action(Strict):
    """Action mode (chapter 2, 2.10.4.2).

    `mixed`: AUTs with and without an action code in one message; `same_again`: an A for what is stored just so;
    `contradiction`: an action code that says the opposite of the event.
    """

    mixed: Literal["refuse", "act"] = "refuse"
    same_again: Literal["refuse", "accept"] = "refuse"
    contradiction: Literal["refuse", "warn"] = "refuse"


class Order(Strict):
    """`older`: a message whose MSH-7 is before that of what it changes, from the same sender."""

    older: Literal["apply", "park"] = "apply"


class Terms(NamedTuple):
    """All of it."""

    snapshot: Snapshot = Snapshot()
    action: Action = Action()
    order: Order = Order()


TERMS = Terms()
