// Verifies one response again and again with node-saml; prints the rate.

import { SAML, ValidateInResponseTo } from "@node-saml/node-saml";
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

const order = JSON.parse(readFileSync(0, "utf8"));
const key = order.key.match(/-----BEGIN PRIVATE KEY-----[^]*?-----END PRIVATE KEY-----/)[0];
// It remembers requests by itself; ours is always pending.
const pending = {
  saveAsync: async () => null,
  getAsync: async (id) => (id === order.request ? new Date().toISOString() : null),
  removeAsync: async (id) => id,
};
const saml = new SAML({
  callbackUrl: order.acs,
  issuer: order.entity,
  audience: order.entity,
  idpIssuer: order.idp,
  idpCert: order.certificate,
  entryPoint: "https://idp.example.org/sso",
  decryptionPvk: key,
  wantAuthnResponseSigned: false,
  wantAssertionsSigned: true,
  validateInResponseTo: ValidateInResponseTo.always,
  cacheProvider: pending,
  // The documents have a clock of their own; -1 leaves this check out.
  acceptedClockSkewMs: -1,
});

async function once() {
  const { profile } = await saml.validatePostResponseAsync({ SAMLResponse: order.response });
  if (profile.nameID !== order.name_id) throw new Error("another name");
}

try {
  await once();
} catch (error) {
  console.log(`refused: ${error.message}`);
  process.exit(1);
}
const begun = performance.now();
let count = 0;
while (performance.now() - begun < order.seconds * 1000) {
  await once();
  count += 1;
}
console.log((count * 1000) / (performance.now() - begun));
