import type { TSchema, Type as TypeBox } from 'typebox'

type Builders = Pick<
  typeof TypeBox,
  | 'String'
  | 'Integer'
  | 'Number'
  | 'Boolean'
  | 'Null'
  | 'Unknown'
  | 'Literal'
  | 'Union'
  | 'Array'
  | 'Record'
  | 'Object'
  | 'Optional'
>
type Options = Readonly<Record<string, unknown>>

/** Hidden mark of a property that may be missing; a symbol, so that the schema stays plain JSON. */
const optional = Symbol('optional')

const isOptional = (schema: object): boolean => optional in schema

const builders = {
  String: (options?: Options) => ({ type: 'string', ...options }),
  Integer: (options?: Options) => ({ type: 'integer', ...options }),
  Number: (options?: Options) => ({ type: 'number', ...options }),
  Boolean: (options?: Options) => ({ type: 'boolean', ...options }),
  Null: (options?: Options) => ({ type: 'null', ...options }),
  Unknown: (options?: Options) => ({ ...options }),
  Literal: (value: string | number | boolean, options?: Options) => ({ type: typeof value, const: value, ...options }),
  Union: (anyOf: readonly TSchema[], options?: Options) => ({ anyOf, ...options }),
  Array: (items: TSchema, options?: Options) => ({ type: 'array', items, ...options }),
  Record: (_key: TSchema, value: TSchema, options?: Options) => ({
    type: 'object',
    additionalProperties: value,
    ...options,
  }),
  Object(properties: Readonly<Record<string, TSchema>>, options?: Options) {
    const required = Object.keys(properties).filter((name) => !isOptional(properties[name] as TSchema))
    return { type: 'object', ...(required.length > 0 && { required }), properties, ...options }
  },
  Optional(schema: TSchema) {
    const copy = { ...schema }
    Object.defineProperty(copy, optional, { value: true })
    return copy
  },
}

/**
 * Builds JSON schemas whose TypeScript types TypeBox infers. Only the types are TypeBox's: loading its code takes 20 MB of
 * memory and a tenth of a second, and of all it does we need these few lines.
 */
export const Type = builders as unknown as Builders
