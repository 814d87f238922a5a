import { expect, test } from 'vitest'
import { TestServer } from '../kit/test-server.ts'

const REGISTER = '/_matrix/client/v3/register'
interface Asked {
  readonly session: string
  readonly flows: readonly { readonly stages: readonly string[] }[]
  readonly params: Record<string, unknown>
  readonly completed?: readonly string[]
}

test('who makes an account agrees to the policy first', async () => {
  await using server = await TestServer.start({
    config: {
      public_baseurl: 'https://matrix.test.example',
      user_consent: { version: 1.5, template_dir: '/nowhere', require_at_registration: true, policy_name: 'House rules' },
    },
  })
  const client = server.anonymous()
  const ask = (auth?: unknown): Promise<Asked> =>
    client.request<Asked>('POST', REGISTER, { body: { username: 'alice', password: 'secret', auth }, expect: [401] })
  const { session, flows, params } = await ask()
  expect(flows).toEqual([{ stages: ['m.login.terms', 'm.login.dummy'] }])
  expect(params).toEqual({
    'm.login.terms': {
      policies: {
        privacy_policy: {
          version: '1.5',
          en: { name: 'House rules', url: 'https://matrix.test.example/_matrix/consent?v=1.5' },
        },
      },
    },
  })
  expect((await ask({ type: 'm.login.terms', session })).completed).toEqual(['m.login.terms'])
  const body = { username: 'alice', password: 'secret', auth: { type: 'm.login.dummy', session } }
  expect(await client.request('POST', REGISTER, { body })).toMatchObject({ user_id: '@alice:test.example' })
})

test('a policy that is not asked for at registration adds no stage', async () => {
  await using server = await TestServer.start({ config: { user_consent: { version: '1', template_dir: '/nowhere' } } })
  const { flows } = await server
    .anonymous()
    .request<Asked>('POST', REGISTER, { body: { username: 'alice', password: 'secret' }, expect: [401] })
  expect(flows).toEqual([{ stages: ['m.login.dummy'] }])
})
