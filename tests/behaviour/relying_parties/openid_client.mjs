// The relying party's side with openid-client. It says JSON lines and hears lines of text.
import readline from 'node:readline'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(process.cwd() + '/')
const client = await import(pathToFileURL(require.resolve('openid-client')).href)
const { subtle } = globalThis.crypto
const say = (value) => console.log(JSON.stringify(value))
const mode = process.argv[2]

if (mode === 'keys') {
  const pair = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const [publicKey, privateKey] = await Promise.all([
    subtle.exportKey('jwk', pair.publicKey),
    subtle.exportKey('jwk', pair.privateKey),
  ])
  delete publicKey.key_ops
  say({ public: { keys: [{ ...publicKey, use: 'sig', alg: 'ES256' }] }, private: privateKey })
  process.exit(0)
}

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const hear = async () => (await lines.next()).value
const { issuer, id, secret, key, redirect, bye } = JSON.parse(await hear())
const options = { execute: [client.allowInsecureRequests] }

async function authentication() {
  if (secret) return client.ClientSecretBasic(secret)
  if (!key) return client.None()
  const parameters = { name: 'ECDSA', namedCurve: 'P-256' }
  return client.PrivateKeyJwt(await subtle.importKey('jwk', key, parameters, false, ['sign']))
}

const config = await client.discovery(new URL(issuer), id, undefined, await authentication(), options)

async function login(pushed) {
  const verifier = client.randomPKCECodeVerifier()
  const parameters = {
    redirect_uri: redirect,
    scope: 'openid profile email',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: client.randomState(),
    nonce: client.randomNonce(),
  }
  const url = pushed
    ? await client.buildAuthorizationUrlWithPAR(config, parameters)
    : client.buildAuthorizationUrl(config, parameters)
  say({ authorize: url.href })
  return client.authorizationCodeGrant(config, new URL(await hear()), {
    pkceCodeVerifier: verifier,
    expectedState: parameters.state,
    expectedNonce: parameters.nonce,
    idTokenExpected: true,
  })
}

const refused = async (work) => {
  try {
    await work()
    return 'nothing'
  } catch (error) {
    return error.error ?? error.code ?? String(error)
  }
}

if (mode === 'device') {
  const device = await client.initiateDeviceAuthorization(config, { scope: 'openid email' })
  say({ page: device.verification_uri_complete, code: device.user_code })
  const tokens = await client.pollDeviceAuthorizationGrant(config, device)
  const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
  say({ email: info.email })
  process.exit(0)
}

const tokens = await login(mode === 'signed')
const claims = tokens.claims()
const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const standing = await client.tokenIntrospection(config, refreshed.access_token)
say({ claims, info, rotated: refreshed.refresh_token !== tokens.refresh_token, active: standing.active })
const out = client.buildEndSessionUrl(config, {
  id_token_hint: refreshed.id_token ?? tokens.id_token,
  post_logout_redirect_uri: bye,
  state: 'out',
})
say({ logout: out.href })
await hear()
const after = await client.tokenIntrospection(config, refreshed.access_token)
say({
  active: after.active,
  refresh: await refused(() => client.refreshTokenGrant(config, refreshed.refresh_token)),
})
await client.tokenRevocation(config, refreshed.refresh_token)
process.exit(0)
