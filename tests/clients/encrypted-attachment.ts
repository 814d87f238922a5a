import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

/** The members of EncryptedFile that decryption needs. Spec: client-server API § Sending encrypted attachments. */
export interface EncryptedFile {
  readonly url: string
  readonly v: 'v2'
  readonly key: {
    readonly kty: 'oct'
    readonly alg: 'A256CTR'
    readonly ext: true
    readonly key_ops: readonly string[]
    readonly k: string
  }
  readonly iv: string
  readonly hashes: { readonly sha256: string }
}

/** Encrypts a file; the result lacks only its address. */
export function encryptAttachment(plain: Buffer): { ciphertext: Buffer; file: Omit<EncryptedFile, 'url'> } {
  const key = randomBytes(32)
  const iv = Buffer.concat([randomBytes(8), Buffer.alloc(8)])
  const cipher = createCipheriv('aes-256-ctr', key, iv)
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()])
  return {
    ciphertext,
    file: {
      v: 'v2',
      key: { kty: 'oct', alg: 'A256CTR', ext: true, key_ops: ['encrypt', 'decrypt'], k: key.toString('base64url') },
      iv: unpadded(iv),
      hashes: { sha256: unpadded(createHash('sha256').update(ciphertext).digest()) },
    },
  }
}

/** Checks the hash and decrypts. */
export function decryptAttachment(ciphertext: Buffer, file: EncryptedFile): Buffer {
  const hash = unpadded(createHash('sha256').update(ciphertext).digest())
  if (hash !== file.hashes.sha256) throw new Error('the file was changed on the way')
  const decipher = createDecipheriv('aes-256-ctr', Buffer.from(file.key.k, 'base64url'), Buffer.from(file.iv, 'base64'))
  return Buffer.concat([decipher.update(ciphertext), decipher.final()])
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}
