import { describe, expect, test } from 'vitest'
// oxlint-disable-next-line typescript/no-restricted-imports -- what ours is compared with
import { Type as TypeBox } from 'typebox'
import { Type } from './schema.ts'

describe('schemas', () => {
  const make = (builder: typeof Type): unknown =>
    builder.Object(
      {
        a: builder.Optional(builder.String({ maxLength: 3 })),
        b: builder.Literal('x'),
        c: builder.Union([builder.Null(), builder.Literal(3), builder.Boolean()]),
        e: builder.Array(builder.Integer({ minimum: 0 }), { maxItems: 2 }),
        f: builder.Object({ g: builder.Optional(builder.Unknown()) }),
        h: builder.Number(),
      },
      { additionalProperties: false },
    )

  test('are those that TypeBox makes', () => {
    expect(JSON.parse(JSON.stringify(make(Type)))).toEqual(JSON.parse(JSON.stringify(make(TypeBox))))
  })

  test('of records name the schema of all values', () => {
    expect(Type.Record(Type.String(), Type.Integer())).toEqual({ type: 'object', additionalProperties: { type: 'integer' } })
  })
})
