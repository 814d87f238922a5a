const FILE_NAME_CHARS_MAX = 1024

/** Reads the file name of a Content-Disposition header; undefined where there is none that can be used. RFC 6266, RFC 5987. */
export function parseFileName(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const extended = /;\s*filename\*\s*=\s*utf-8''([^;\s]*)/i.exec(header)?.[1]
  const name = extended === undefined ? plainName(header) : decode(extended)
  return name === undefined || name === '' || name.length > FILE_NAME_CHARS_MAX ? undefined : name
}

function plainName(header: string): string | undefined {
  const [, quoted, bare] = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(header) ?? []
  return quoted === undefined ? bare : quoted.replace(/\\(.)/g, '$1')
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}
