"""Groups of commands that name the command which was probably meant."""

import difflib

import click


class SuggestingGroup(click.Group):
    """A group whose refusal of an unknown command names the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            ctx.fail(f"no such command {name!r}; {meant}")
        return super().resolve_command(ctx, args)
