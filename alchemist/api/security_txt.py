"""`/.well-known/security.txt`: where to report vulnerabilities (RFC 9116)."""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, Flask, Response, current_app

blp = Blueprint("security_txt", __name__)
# Less than a year is recommended (RFC 9116 §2.5.5). Each response begins it again.
VALIDITY = timedelta(days=180)


@blp.get("/.well-known/security.txt")
def security_txt() -> Response:
    """Return the contact that is configured."""
    expires_at = (datetime.now(UTC) + VALIDITY).isoformat(timespec="seconds")
    lines = [
        f"Contact: {current_app.config['SECURITY_CONTACT']}",
        f"Expires: {expires_at}",
        "Preferred-Languages: en",
    ]
    return Response("".join(f"{line}\n" for line in lines), mimetype="text/plain")


def init_app(app: Flask, contact: str | None) -> None:
    """Register the file, if there is a contact."""
    if contact:
        app.config["SECURITY_CONTACT"] = contact
        app.register_blueprint(blp)
