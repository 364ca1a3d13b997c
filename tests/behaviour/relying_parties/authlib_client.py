"""The relying party's side with Authlib. It says JSON lines and hears lines of text."""
import json
import sys
from urllib.parse import urlencode

from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
import requests

settings = json.loads(sys.stdin.readline())


def say(value):
    print(json.dumps(value), flush=True)


def hear():
    return sys.stdin.readline().strip()


issuer = settings["issuer"]
metadata = requests.get(issuer + "/.well-known/openid-configuration", timeout=10).json()
session = OAuth2Session(
    settings["id"],
    settings["secret"],
    scope="openid profile email",
    redirect_uri=settings["redirect"],
    code_challenge_method="S256",
    token_endpoint_auth_method=settings["method"],
)
verifier, nonce = generate_token(48), generate_token(16)
url, state = session.create_authorization_url(
    metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
)
say({"authorize": url})
token = session.fetch_token(
    metadata["token_endpoint"], authorization_response=hear(), state=state, code_verifier=verifier
)
keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
options = {
    "iss": {"essential": True, "value": issuer},
    "aud": {"essential": True, "value": settings["id"]},
    "nonce": {"essential": True, "value": nonce},
}
claims = jwt.decode(token["id_token"], keys, claims_options=options)
claims.validate()
info = session.get(metadata["userinfo_endpoint"]).json()
old = token["refresh_token"]
token = session.refresh_token(metadata["token_endpoint"], refresh_token=old)
standing = session.introspect_token(metadata["introspection_endpoint"], token["access_token"]).json()
say(
    {
        "username": claims["preferred_username"],
        "email": info["email"],
        "rotated": token["refresh_token"] != old,
        "active": standing["active"],
    }
)
query = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": settings["bye"]}
say({"logout": metadata["end_session_endpoint"] + "?" + urlencode(query)})
hear()
standing = session.introspect_token(metadata["introspection_endpoint"], token["access_token"]).json()
try:
    session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
    refused = "nothing"
except Exception as error:  # any of Authlib's own
    refused = getattr(error, "error", str(error))
say({"active": standing["active"], "refresh": refused})
