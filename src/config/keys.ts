import { duration, flag, groupList, groupMap, integer, optionalText, plainObject, secret, section, text } from './option.ts'
import type { Values } from './option.ts'

/** Signing keys and secrets. */
export const keysOptions = section('Keys and secrets', {
  signingKey: optionalText('signing_key', 'The signing key itself, as it stands in a key file. Better: `signing_key_path`.'),
  signingKeyPath: optionalText(
    'signing_key_path',
    'File with the key that signs our events; `<server_name>.signing.key` beside the configuration by default.',
  ),
  oldSigningKeys: groupMap(
    'old_signing_keys',
    {
      key: text('key', '', 'The public key, unpadded base64.'),
      expiredTs: integer('expired_ts', 0, 'When it ceased to be used, in milliseconds since 1970.'),
    },
    'Keys that signed in the past, by their id.',
  ),
  keyRefreshIntervalMs: duration('key_refresh_interval', '1d', 'How long other servers may keep our keys.'),
  trustedKeyServers: groupList(
    'trusted_key_servers',
    {
      serverName: text('server_name', '', 'Name of the server.'),
      verifyKeys: plainObject('verify_keys', 'Its keys, by their id; otherwise its TLS certificate is trusted.'),
      acceptKeysInsecurely: flag('accept_keys_insecurely', false, 'Believes it even without TLS checks.'),
    },
    "Servers that are asked for other servers' keys; matrix.org by default.",
    [{ serverName: 'matrix.org', verifyKeys: {}, acceptKeysInsecurely: false }],
  ),
  suppressKeyServerWarning: flag('suppress_key_server_warning', false, 'Does not warn that matrix.org is trusted.'),
  keyServerSigningKeysPath: optionalText(
    'key_server_signing_keys_path',
    "File with keys that sign what we say about other servers' keys.",
  ),
  macaroonSecretKey: secret('macaroon_secret_key', 'Signs short-lived tokens.'),
  formSecret: secret('form_secret', 'Signs links in forms and mails.'),
})
export type KeysConfig = Values<typeof keysOptions.options>
