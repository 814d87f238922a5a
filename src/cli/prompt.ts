import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { Writable } from 'node:stream'
import { CliError, EXIT } from './cli-error.ts'

/** Asks the person at the terminal. Without a terminal, every answer is a line of the input. */
export class Prompt implements Disposable {
  readonly #lines: Interface
  readonly #answers: AsyncIterator<string>
  #isHidden = false

  constructor() {
    // Readline echoes what is typed to its output: a secret is echoed to nowhere.
    const output = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (!this.#isHidden) process.stderr.write(chunk)
        done()
      },
    })
    this.#lines = createInterface({ input: process.stdin, output, terminal: process.stdin.isTTY })
    this.#lines.once('SIGINT', () => process.exit(EXIT.interrupted))
    this.#answers = this.#lines[Symbol.asyncIterator]()
  }

  /** Asks a question. Throws CliError when the input ends. */
  async ask(question: string): Promise<string> {
    process.stderr.write(question)
    const { value, done } = await this.#answers.next()
    if (done === true) throw new CliError('the input ended before an answer came', { status: EXIT.failed })
    return value
  }

  /** Asks for a new password, twice on a terminal; what is typed is not shown. Throws CliError when it is empty or mistyped. */
  async askNewPassword(): Promise<string> {
    const password = await this.#askHidden('Password: ')
    if (password === '') throw new CliError('the password cannot be empty', { status: EXIT.failed })
    if (process.stdin.isTTY && (await this.#askHidden('Confirm password: ')) !== password) {
      throw new CliError('the passwords do not match', { status: EXIT.failed })
    }
    return password
  }

  [Symbol.dispose](): void {
    this.#lines.close()
  }

  async #askHidden(question: string): Promise<string> {
    this.#isHidden = process.stdin.isTTY
    try {
      return await this.ask(question)
    } finally {
      if (this.#isHidden) process.stderr.write('\n')
      this.#isHidden = false
    }
  }
}
