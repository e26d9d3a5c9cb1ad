// The OpenID provider of npm oidc-provider. What it says of people is told by POST /control,
// its keys change by POST /rotate, and POST /groups has the groups that are too many for a token.
import http from 'node:http';
import { generateKeyPairSync } from 'node:crypto';

const { ISSUER, PORT, SKEW = '0', TTL = '3600', OIDC_PROVIDER } = process.env;
const now = Date.now;
Date.now = () => now() + Number(SKEW) * 1000;
const { Provider } = await import(OIDC_PROVIDER);

let says = { id_token: {}, userinfo: {}, far: [] };
const client = (id) => ({
  client_id: id,
  client_secret: 'secret',
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1:1/cb', 'http://127.0.0.1/callback'],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
});
const key = () => ({
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }),
  kid: String(now()), use: 'sig', alg: 'RS256',
});
const make = () => {
  const provider = new Provider(ISSUER, {
    clients: [client('tallyroute'), client('other')],
    jwks: { keys: [key()] },
    conformIdTokenClaims: false,
    cookies: { keys: ['cookies'] },
    ttl: { IdToken: Number(TTL) },
    pkce: { required: () => true },
    claims: {
      openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'],
      groups: ['groups', '_claim_names', '_claim_sources'],
    },
    features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
    findAccount: (ctx, id) => ({ accountId: id, claims: async (use) => ({ sub: id, ...says[use] }) }),
  });
  provider.proxy = true;
  return provider.callback();
};
let serve = make();
http.createServer((request, answer) => {
  if (request.url === '/control') {
    let text = '';
    request.on('data', (part) => { text += part; });
    request.on('end', () => { says = JSON.parse(text); answer.end(); });
  } else if (request.url === '/rotate') {
    serve = make();
    answer.end();
  } else if (request.url === '/groups') {
    answer.setHeader('content-type', 'application/json');
    answer.end(JSON.stringify({ value: request.headers.authorization ? says.far : [] }));
  } else {
    serve(request, answer);
  }
}).listen(Number(PORT), '127.0.0.1');
