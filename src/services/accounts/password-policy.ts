import { MatrixError } from '../../protocol/errors.ts'
import { PASSWORD_CHARS_MAX } from './password-hasher.ts'

/** What a new password must have: option `password_config.policy`. */
export interface PasswordPolicy {
  readonly enabled: boolean
  readonly minimumLength: number
  readonly requireDigit: boolean
  readonly requireSymbol: boolean
  readonly requireLowercase: boolean
  readonly requireUppercase: boolean
}

/** Checks a new password. Throws M_WEAK_PASSWORD, M_INVALID_PARAM. */
export function checkPassword(password: string, policy: PasswordPolicy): void {
  if (password.length > PASSWORD_CHARS_MAX) throw new MatrixError('M_INVALID_PARAM', 'Invalid password')
  if (!policy.enabled) return
  if (password.length < policy.minimumLength) throw weak(`This password must have at least ${policy.minimumLength} characters`)
  if (policy.requireDigit && !/[0-9]/.test(password)) throw weak('The password must contain at least one digit')
  if (policy.requireSymbol && !/[^a-zA-Z0-9]/.test(password)) throw weak('The password must contain at least one symbol')
  if (policy.requireUppercase && !/[A-Z]/.test(password)) throw weak('The password must contain at least one uppercase letter')
  if (policy.requireLowercase && !/[a-z]/.test(password)) throw weak('The password must contain at least one lowercase letter')
}

function weak(message: string): MatrixError {
  return new MatrixError('M_WEAK_PASSWORD', message)
}

/** The policy as `GET /password_policy` tells it: only what is demanded. Source: MSC2000, Synapse. */
export function describePolicy(policy: PasswordPolicy): Record<string, unknown> {
  if (!policy.enabled) return {}
  return {
    ...(policy.minimumLength > 0 ? { 'm.minimum_length': policy.minimumLength } : {}),
    ...(policy.requireDigit ? { 'm.require_digit': true } : {}),
    ...(policy.requireSymbol ? { 'm.require_symbol': true } : {}),
    ...(policy.requireLowercase ? { 'm.require_lowercase': true } : {}),
    ...(policy.requireUppercase ? { 'm.require_uppercase': true } : {}),
  }
}
