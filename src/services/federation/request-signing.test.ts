import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../protocol/canonical-json.ts'
import { verifyText } from '../../protocol/signatures.ts'
import { parseSigningKeys } from '../../protocol/signing-key.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import { buildXMatrix, parseXMatrix, signedRequestJson } from './request-signing.ts'

// The key of the specification's examples: appendices § Cryptographic Test Vectors.
const [key] = parseSigningKeys('ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1') as readonly [SigningKey]
const REQUEST = {
  method: 'POST',
  uri: '/target?a=%2F&b',
  origin: 'origin.hs.example.com',
  destination: 'destination.hs.example.com',
} as const

describe('the signature of a request', () => {
  test('covers method, target, origin, destination and the body if there is one', () => {
    expect(canonicalJson(signedRequestJson({ ...REQUEST, content: { one: 1 } }))).toBe(
      '{"content":{"one":1},"destination":"destination.hs.example.com","method":"POST","origin":"origin.hs.example.com","uri":"/target?a=%2F&b"}',
    )
    expect(signedRequestJson({ ...REQUEST, content: undefined })).not.toHaveProperty('content')
  })

  test('stands in a header that old servers read too', () => {
    const header = buildXMatrix({ ...REQUEST, content: { one: 1 } }, key)
    expect(header).toMatch(
      /^X-Matrix origin="origin\.hs\.example\.com",destination="destination\.hs\.example\.com",key="ed25519:1",sig="[A-Za-z0-9+/]{86}"$/,
    )
    const parsed = parseXMatrix(header)
    expect(parsed).toMatchObject({ origin: REQUEST.origin, destination: REQUEST.destination, keyId: 'ed25519:1' })
    const text = canonicalJson(signedRequestJson({ ...REQUEST, content: { one: 1 } }))
    expect(verifyText(text, parsed?.signature ?? '', key.publicKey)).toBe(true)
  })
})

describe('an X-Matrix header', () => {
  const expected = { origin: 'a.org:8448', destination: 'b.org', keyId: 'ed25519:k', signature: 'c2ln+/==' }

  test.each([
    'X-Matrix origin="a.org:8448",destination="b.org",key="ed25519:k",sig="c2ln+/=="',
    'X-Matrix origin=a.org:8448,destination=b.org,key=ed25519:k,sig="c2ln+/=="',
    'x-matrix    sig="c2ln+/==" ,\t key="ed25519:k" ,  DESTINATION=b.org,Origin="a.org:8448"',
    String.raw`X-Matrix origin="a\.org:8448",destination="b\.org",key="ed25519\:k",sig="c2ln+/=="`,
    'X-Matrix origin="a.org:8448",destination="b.org",new="un,known \\" one",key="ed25519:k",sig="c2ln+/=="',
    'X-Matrix origin=a.org:8448,destination=b.org,key=ed25519:k,sig=c2ln+/==',
  ])('is read in the form %s', (header) => expect(parseXMatrix(header)).toEqual(expected))

  test('may lack the destination', () => {
    expect(parseXMatrix('X-Matrix origin="a.org",key="ed25519:k",sig="s"')?.destination).toBeUndefined()
  })

  test.each([
    '',
    'X-Matrix',
    'X-Matrix ',
    'Bearer token',
    'X-Matrix origin="a.org",key="ed25519:k"',
    'X-Matrix origin="a.org",key="ed25519:k",sig=""',
    'X-Matrix origin="a.org",origin="b.org",key="ed25519:k",sig="s"',
    'X-Matrix origin="a.org,key="ed25519:k",sig="s"',
    'X-Matrix origin="a.org" key="ed25519:k" sig="s"',
    'X-Matrix origin="a.org",key="ed25519:k",sig="s',
    `X-Matrix origin="a.org",key="ed25519:k",sig="${'s'.repeat(5000)}"`,
    `X-Matrix ${'a=b,'.repeat(900)}!`,
  ])('is refused in the form %#', (header) => expect(parseXMatrix(header)).toBeUndefined())
})
