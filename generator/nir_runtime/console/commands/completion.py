"""`nir-exchange completion`: what lets a shell complete what is typed."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from nir_runtime.console.frame import Answer, Command

NAME = "nir-exchange"
VARIABLE = "_NIR_EXCHANGE_COMPLETE"
"""What the shell sets when it asks click for completions."""


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> Answer:
    """Print what lets a shell complete commands, options, frameworks, and nodes of a file.

    \b
    bash: echo 'eval "$(nir-exchange completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(nir-exchange completion zsh)"' >> ~/.zshrc
    fish: nir-exchange completion fish > ~/.config/fish/completions/nir-exchange.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(f"click knows no completion for {shell}")
    # Not kind.source(), which runs bash to ask for its version, and complains where there is none.
    made = kind(ctx.find_root().command, {}, NAME, VARIABLE)
    text = made.source_template % made.source_vars()
    return Answer((text.strip(),), {"shell": shell, "script": text})
