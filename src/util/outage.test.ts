import { expect, it } from 'vitest'
import { isOutage } from './outage.ts'

const errorWith = (parts: object, message = ''): Error => Object.assign(new Error(message), parts)

it('a database that is away, starts or stops is an outage', () => {
  for (const error of [
    errorWith({ code: '57P03' }, 'the database system is starting up'),
    errorWith({ code: '57P01' }),
    errorWith({ code: '08006' }),
    errorWith({ code: 'ENOENT', syscall: 'connect' }),
    errorWith({ code: 'EPIPE', syscall: 'write' }),
    errorWith({}, 'Connection terminated unexpectedly'),
  ])
    expect(isOutage(error)).toBe(true)
})

it('what a statement or our program does wrong is none', () => {
  for (const error of [
    errorWith({ code: '23505' }),
    errorWith({ code: 'ENOENT', syscall: 'open' }),
    new TypeError('undefined'),
    'text',
  ])
    expect(isOutage(error)).toBe(false)
})
