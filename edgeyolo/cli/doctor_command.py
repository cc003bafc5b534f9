"""``edgeyolo doctor``."""

from __future__ import annotations

import click

from edgeyolo.cli import options


@click.command()
@options.json_option
def command(*, as_json: bool) -> None:
    """Say what this machine can do, what is wrong with it, and the fix.

    Exit status 0 also with warnings.
    """
    import msgspec

    from edgeyolo import __version__
    from edgeyolo.doctor.diagnosis import diagnose
    from edgeyolo.doctor.findings import Severity

    found = diagnose()
    if as_json:
        options.print_json({"edgeyolo": __version__, **msgspec.to_builtins(found)})
        return
    machine, opencv = found.machine, found.opencv
    click.echo(f"{'edgeyolo':<12}{__version__}, Python {machine.python}")
    click.echo(f"{'machine':<12}{machine.kind.value}: {machine.line()}")
    click.echo(f"{'memory':<12}{machine.memory_free_mb} of {machine.memory_mb} MB free")
    build = "does not load"
    if opencv is not None:
        build = (
            f"{opencv.version}, windows {opencv.windows or 'none'}, "
            f"GStreamer {'yes' if opencv.gstreamer else 'no'}, FFmpeg "
            f"{'yes' if opencv.ffmpeg else 'no'}, display {'yes' if opencv.display else 'no'}"
        )
    click.echo(f"{'opencv':<12}{build}")
    for report in found.runtimes:
        devices = ", ".join(report.devices) or "no device"
        state = f"{report.version}, {devices}" if report.version else "not installed"
        click.echo(f"{report.backend:<12}{report.package} {state}")
        for speed in found.precisions:
            if speed.backend is report.backend:
                why = f": {speed.why}" if speed.why else ""
                click.echo(f"{'':<12}{speed.precision} on {speed.device} {speed.speed.value}{why}")
    for finding in found.findings:
        click.echo(f"{finding.severity.value:<12}{finding.subject}: {finding.text}")
        if finding.fix:
            click.echo(f"{'':<12}fix: {finding.fix}")
    warnings = sum(finding.severity is Severity.WARNING for finding in found.findings)
    options.say(f"{warnings} warnings")
