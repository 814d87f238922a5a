import { expect, test } from 'vitest'
import { MatrixError } from '../../protocol/errors.ts'
import { checkPassword, describePolicy } from './password-policy.ts'

const POLICY = {
  enabled: true,
  minimumLength: 8,
  requireDigit: true,
  requireSymbol: true,
  requireLowercase: true,
  requireUppercase: true,
}
const OFF = { ...POLICY, enabled: false }

function errcodeOf(password: string, policy = POLICY): string | undefined {
  try {
    checkPassword(password, policy)
    return undefined
  } catch (error) {
    if (error instanceof MatrixError) return error.errcode
    throw error
  }
}

test.each(['Ab1!', 'Abcdefgh!', 'Abcdefg1', 'abcdef1!', 'ABCDEF1!'])('the password %s is too weak', (password) => {
  expect(errcodeOf(password)).toBe('M_WEAK_PASSWORD')
})

test('a password that has everything is accepted, and without a policy any is', () => {
  expect(errcodeOf('Abcdef1!')).toBeUndefined()
  expect(errcodeOf('', OFF)).toBeUndefined()
})

test('a password of more than 512 characters is refused under any policy', () => {
  expect(errcodeOf('x'.repeat(513), OFF)).toBe('M_INVALID_PARAM')
})

test('the policy is told as far as it demands something', () => {
  expect(describePolicy(OFF)).toEqual({})
  expect(describePolicy({ ...POLICY, requireSymbol: false, requireUppercase: false })).toEqual({
    'm.minimum_length': 8,
    'm.require_digit': true,
    'm.require_lowercase': true,
  })
})
