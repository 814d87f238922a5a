const BASE64 = /^[A-Za-z0-9+/]*$/
const BASE64_URL = /^[A-Za-z0-9_-]*$/
const SERVER_NAME = /^(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

/** The string formats that the specification uses (string-formats.yaml), as ajv wants them. */
export const SPEC_FORMATS: Readonly<Record<string, true | ((text: string) => boolean)>> = {
  'mx-user-id': (text) => /^@[^:]*:./s.test(text) && isShort(text),
  'mx-event-id': (text) => /^\$./s.test(text) && isShort(text),
  'mx-room-id': (text) => /^!./s.test(text) && isShort(text),
  'mx-room-alias': (text) => /^#[^:]*:./s.test(text) && isShort(text),
  'mx-server-name': (text) => SERVER_NAME.test(text),
  'mx-mxc-uri': (text) => /^mxc:\/\/[^/]+\/[^/]+$/.test(text),
  'mx-unpadded-base64': (text) => BASE64.test(text),
  'mx-urlsafe-unpadded-base64': (text) => BASE64_URL.test(text),
  uri: (text) => URL.canParse(text),
  email: (text) => /^[^@\s]+@[^@\s]+$/.test(text),
  int64: true,
  float: true,
}

function isShort(identifier: string): boolean {
  return Buffer.byteLength(identifier) <= 255
}
