const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const MXC = /^mxc:\/\/([^/?#]+)\/([A-Za-z0-9_-]+)/

const pad = (value: number, width = 2, filler = '0'): string => String(value).padStart(width, filler)
const short = (names: readonly string[], index: number): string => (names[index] ?? '').slice(0, 3)

/** What the letters of a format mean, as in C's strftime. */
const FIELDS: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => short(DAYS, date.getDay()),
  A: (date) => DAYS[date.getDay()] ?? '',
  b: (date) => short(MONTHS, date.getMonth()),
  B: (date) => MONTHS[date.getMonth()] ?? '',
  d: (date) => pad(date.getDate()),
  e: (date) => pad(date.getDate(), 2, ' '),
  H: (date) => pad(date.getHours()),
  I: (date) => pad(date.getHours() % 12 || 12),
  m: (date) => pad(date.getMonth() + 1),
  M: (date) => pad(date.getMinutes()),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  S: (date) => pad(date.getSeconds()),
  y: (date) => pad(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  '%': () => '%',
}

/** Formats that stand for several fields. */
const COMPOSED: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  R: '%H:%M',
  T: '%H:%M:%S',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
}

/** Formats milliseconds since 1970 in the server's time zone: the filter `format_ts`. Source: Synapse docs/templates.md. */
export function formatTimestamp(value: unknown, format: string): string {
  const date = new Date(Number(value))
  return format
    .replaceAll(/%([cDFRTxX])/g, (_whole, letter: string) => COMPOSED[letter] ?? '')
    .replaceAll(/%([A-Za-z%])/g, (whole, letter: string) => FIELDS[letter]?.(date) ?? whole)
}

/** Puts values into a format of Python: `%s`, `%d`, `%.1f`. */
export function formatPython(format: unknown, ...values: readonly unknown[]): string {
  let next = 0
  return String(format).replaceAll(/%(?:\.(\d{1,2}))?([sdf%])/g, (_whole, digits: string | undefined, kind: string) => {
    if (kind === '%') return '%'
    const value = values[next++]
    if (kind === 'f') return Number(value).toFixed(Number(digits ?? 6))
    return kind === 'd' ? String(Math.trunc(Number(value))) : String(value)
  })
}

/** Puts named values into a text of the configuration: `%(app)s`. Names that are not given stay as they are. */
export function formatNamed(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/%\((\w+)\)s/g, (whole, name: string) => (Object.hasOwn(values, name) ? (values[name] ?? '') : whole))
}

/** The part before the @ : the filter `localpart_from_email`. */
export function localpartOfEmail(address: unknown): string {
  return String(address).split('@', 1)[0] ?? ''
}

/** The address of a thumbnail: the filter `mxc_to_http`. Empty for what is no mxc URL. */
export function thumbnailUrl(
  publicBaseUrl: string,
  value: unknown,
  size: { readonly width: number; readonly height: number; readonly method: unknown },
): string {
  const [, server, id] = MXC.exec(String(value)) ?? []
  if (server === undefined || id === undefined) return ''
  const method = size.method === 'scale' ? 'scale' : 'crop'
  const query = `width=${Number(size.width)}&height=${Number(size.height)}&method=${method}`
  return `${publicBaseUrl}_matrix/media/v3/thumbnail/${encodeURIComponent(server)}/${id}?${query}`
}
