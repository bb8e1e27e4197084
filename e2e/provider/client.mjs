// An OpenID client of others (npm openid-client), driven line by line: each line of
// stdin is a step as JSON, each line of stdout its answer.
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const oidc = await import(pathToFileURL(process.argv[2] + '/openid-client/build/index.js'))
let config, checks, keys, handle, begun

const authentication = {
  none: () => oidc.None(),
  basic: (s) => oidc.ClientSecretBasic(s),
  post: (s) => oidc.ClientSecretPost(s),
}

const answerOf = (t) => ({ ...t, claims: t.claims?.(), expiresIn: t.expiresIn?.() })

const steps = {
  // discover reads the issuer's metadata; by is openid-configuration or oauth2.
  async discover({ issuer, client, secret, auth, dpop, by, key }) {
    let method = authentication[auth]?.(secret)
    if (auth === 'private_key_jwt') {
      const imported = await crypto.subtle.importKey('jwk', key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
      method = oidc.PrivateKeyJwt({ key: imported, kid: key.kid })
    }
    config = await oidc.discovery(new URL(issuer), client, undefined, method, {
      execute: [oidc.allowInsecureRequests], algorithm: by ?? 'oidc',
    })
    handle = undefined
    if (dpop) {
      keys = await oidc.randomDPoPKeyPair()
      handle = oidc.getDPoPHandle(config, keys)
    }
    return config.serverMetadata()
  },
  // register makes a client of a description, and is that client from then on.
  async register({ issuer, metadata, auth, token, by }) {
    const none = auth === 'none' ? oidc.None() : undefined
    config = await oidc.dynamicClientRegistration(new URL(issuer), metadata, none, {
      initialAccessToken: token, execute: [oidc.allowInsecureRequests], algorithm: by ?? 'oidc',
    })
    handle = undefined
    return config.clientMetadata()
  },
  // start is where the browser goes.
  async start({ redirect, scope, more, par }) {
    const verifier = oidc.randomPKCECodeVerifier()
    checks = { pkceCodeVerifier: verifier, expectedState: oidc.randomState(), expectedNonce: oidc.randomNonce(), idTokenExpected: true }
    const parameters = {
      redirect_uri: redirect, scope, state: checks.expectedState, nonce: checks.expectedNonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
    }
    if (more?.max_age !== undefined) checks.maxAge = Number(more.max_age)
    if (par) return { url: (await oidc.buildAuthorizationUrlWithPAR(config, parameters, { DPoP: handle })).href }
    return { url: oidc.buildAuthorizationUrl(config, parameters).href }
  },
  // callback takes what the browser brings back.
  async callback({ url }) {
    return answerOf(await oidc.authorizationCodeGrant(config, new URL(url), checks, undefined, { DPoP: handle }))
  },
  async refresh({ token, more }) {
    return answerOf(await oidc.refreshTokenGrant(config, token, more, { DPoP: handle }))
  },
  async credentials({ more }) {
    return answerOf(await oidc.clientCredentialsGrant(config, more, { DPoP: handle }))
  },
  // exchange gets a token for the next API.
  async exchange({ more }) {
    return answerOf(await oidc.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', more, { DPoP: handle }))
  },
  // device begins on a device, and poll waits until somebody has decided elsewhere.
  async device({ scope }) {
    return (begun = await oidc.initiateDeviceAuthorization(config, { scope }))
  },
  async poll() {
    return answerOf(await oidc.pollDeviceAuthorizationGrant(config, begun, undefined, { DPoP: handle }))
  },
  async userinfo({ token, subject }) {
    return await oidc.fetchUserInfo(config, token, subject, { DPoP: handle })
  },
  // call sends JSON to an API, which must be taken, or only says what it would send (dry).
  async call({ token, url, body, dry }) {
    let sent
    config[oidc.customFetch] = (to, options) => {
      sent = new Headers(options.headers)
      return dry ? new Response('{}') : fetch(to, options)
    }
    const headers = new Headers({ 'content-type': 'application/json' })
    try {
      const response = await oidc.fetchProtectedResource(config, token, new URL(url), 'POST', JSON.stringify(body), headers, { DPoP: handle })
      return { status: response.status, body: await response.text(), proof: sent.get('dpop'), authorization: sent.get('authorization') }
    } finally {
      config[oidc.customFetch] = undefined
    }
  },
  async introspect({ token }) {
    return await oidc.tokenIntrospection(config, token)
  },
  async revoke({ token }) {
    await oidc.tokenRevocation(config, token)
    return {}
  },
  async logout({ more }) {
    return { url: oidc.buildEndSessionUrl(config, more).href }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { step, args } = JSON.parse(line)
  let answer
  try {
    answer = { ok: await steps[step](args ?? {}) }
  } catch (e) {
    answer = { code: e.error ?? e.cause?.error ?? e.code ?? 'unknown', message: String(e.message), status: e.status ?? 0, cause: String(e.cause?.message ?? e.cause ?? '') }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
