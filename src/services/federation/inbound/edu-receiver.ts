import { MatrixError } from '../../../protocol/errors.ts'
import type { ServerName } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import type { Logger } from '../../../util/logger.ts'

/** Applies the content of one kind of EDU. Settles when its effect is stored. A MatrixError says that it is not as it should be. */
export type EduHandler = (origin: ServerName, content: JsonObject) => Promise<void>

/** Applies EDUs of other servers, each kind by its handler; kinds that are not known are nothing to us. Spec: server-server-api § EDUs. */
export class EduReceiver {
  readonly #handlers: ReadonlyMap<string, EduHandler>
  readonly #logger: Logger

  constructor(deps: { handlers: ReadonlyMap<string, EduHandler>; logger: Logger }) {
    this.#handlers = deps.handlers
    this.#logger = deps.logger
  }

  /** Applies the EDUs of a transaction in their order. What is malformed is left out; other errors fail the transaction. */
  async receive(origin: ServerName, edus: readonly JsonValue[]): Promise<void> {
    for (const edu of edus) {
      const type = isJsonObject(edu) ? edu['edu_type'] : undefined
      const content = isJsonObject(edu) ? edu['content'] : undefined
      const handler = typeof type === 'string' ? this.#handlers.get(type) : undefined
      if (!handler || !isJsonObject(content)) continue
      try {
        await handler(origin, content)
      } catch (error) {
        if (!(error instanceof MatrixError) || error.status >= 500) throw error
        this.#logger.debug('an EDU is refused', { origin, type, error })
      }
    }
  }
}
