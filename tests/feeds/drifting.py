"""Nivoda's schema as it might be tomorrow."""

from collections.abc import Sequence

from graphql import GraphQLSchema

from simulator.drift import Drift


def drifted(
    *,
    removed: Sequence[str] = (),
    renamed: Sequence[str] = (),
    added: Sequence[str] = (),
    retyped: Sequence[str] = (),
) -> GraphQLSchema:
    """The simulator's schema, different; see its switch `schema-drift`."""
    return Drift.read(tuple(removed), tuple(renamed), tuple(added), tuple(retyped)).schema()
