// Blanks what must not be in a log, wherever it stands: in a URL, in a header, in a field.
const QUERY_SECRET = /\b(access_token|loginToken|login_token|token|user_code)=[^&\s"\\#]+/g
const BEARER = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}/g
const FIELD_SECRET =
  /"(authorization|access_token|accessToken|refresh_token|refreshToken|password|new_password|newPassword|token|secret|client_secret|mac|nonce|pepper|cookie)":"(?:[^"\\]|\\.)*"/gi

/** A log line in its final form. */
export interface FormattedLine {
  readonly line: string
  readonly level: string
  readonly timeMs: number
}

/** Blanks secrets in a text. */
export function redactSecrets(text: string): string {
  return text.replace(QUERY_SECRET, '$1=<redacted>').replace(BEARER, '$1 <redacted>').replace(FIELD_SECRET, '"$1":"<redacted>"')
}

/** Turns one of pino's JSON lines into what is written, secrets blanked. */
export function formatLogLine(jsonLine: string, format: 'text' | 'json'): FormattedLine {
  const clean = redactSecrets(jsonLine)
  const record = JSON.parse(clean) as Record<string, unknown>
  const timeMs = Number(record['time'])
  const level = String(record['level'])
  return { line: format === 'json' ? clean : formatText(record, { timeMs, level }), level, timeMs }
}

/** `2026-01-31 12:00:00.123 INFO  name: message key=value`; stacks follow on lines of their own. */
function formatText(record: Readonly<Record<string, unknown>>, { timeMs, level }: { timeMs: number; level: string }): string {
  const { time, level: _level, name, msg, ...fields } = record
  void time
  void _level
  const stamp = new Date(timeMs).toISOString().replace('T', ' ').replace('Z', '')
  let line = `${stamp} ${level.toUpperCase().padEnd(5)} ${name === undefined ? '' : `${String(name)}: `}${String(msg ?? '')}`
  let stacks = ''
  for (const [key, value] of Object.entries(fields)) {
    if (typeof value === 'string' && value.includes('\n')) stacks += `\n  ${key}: ${value.replaceAll('\n', '\n  ')}`
    else line += ` ${key}=${formatValue(value)}`
  }
  return `${line}${stacks}\n`
}

function formatValue(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
}
