// A real OpenID provider for tests: `node server.mjs SETTINGS.json`. Its log-in form takes the name
// of one of the accounts of the settings and no password; there is no consent page.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { issuer, port, clients, accounts } = settings;

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const provider = new Provider(issuer, {
  clients,
  claims: {
    openid: ['sub', 'sid'],
    profile: ['preferred_username', 'given_name', 'family_name', 'nickname', 'locale', 'groups'],
    email: ['email', 'email_verified'],
  },
  conformIdTokenClaims: false,
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = `<!doctype html><title>Sign out</title>${form}
          <button id="sign-out" type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>`;
      },
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: ['a key of the tests'] },
  // Its own guard against requests to this machine would keep it from the daemon under test.
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  findAccount: (ctx, id) => (id in accounts
    ? { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }
    : undefined),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile email');
    await grant.save();
    return grant;
  },
});

provider.use(async (ctx, next) => {
  const match = /^\/interaction\/([^/]+)$/.exec(ctx.path);
  if (!match) return next();
  if (ctx.method === 'POST') {
    let body = '';
    for await (const chunk of ctx.req) body += chunk;
    const accountId = new URLSearchParams(body).get('name');
    if (accountId === 'cancel') {
      const refused = { error: 'access_denied', error_description: 'The person declined' };
      await provider.interactionFinished(ctx.req, ctx.res, refused);
      ctx.respond = false;
      return undefined;
    }
    if (accountId in accounts) {
      await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId } });
      ctx.respond = false;
      return undefined;
    }
  }
  const details = await provider.interactionDetails(ctx.req, ctx.res);
  const hint = escape(details.params.login_hint ?? '');
  ctx.type = 'html';
  ctx.body = `<!doctype html><title>Upstream</title><form method="post" action="${ctx.path}">
    <input name="name" value="${hint}"><button type="submit">Log in</button></form>`;
  return undefined;
});

provider.on('server_error', (ctx, error) => console.log(`server_error ${error.stack}`));
provider.on('backchannel.success', () => console.log('backchannel.success'));
provider.on('backchannel.error', (ctx, error) => console.log(`backchannel.error ${error.message}`));
provider.listen(port, '127.0.0.1', () => console.log(`upstream listens on ${port}`));
