import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { CliError, EXIT } from './cli-error.ts'

/** Asks a question on the terminal. */
export function ask(question: string): Promise<string> {
  return readAnswer(question, { isSecret: false })
}

/** Asks for a password, which is not shown; twice, where it is a new one. Without a terminal it is one line of the input. */
export async function askPassword(options: { confirm: boolean }): Promise<string> {
  const password = await readAnswer('Password: ', { isSecret: true })
  if (password === '') throw new CliError('the password cannot be empty', { status: EXIT.failed })
  if (options.confirm && process.stdin.isTTY && (await readAnswer('Confirm password: ', { isSecret: true })) !== password) {
    throw new CliError('the passwords do not match', { status: EXIT.failed })
  }
  return password
}

function readAnswer(question: string, { isSecret }: { isSecret: boolean }): Promise<string> {
  const isTerminal = process.stdin.isTTY
  process.stderr.write(question)
  // Readline echoes what is typed to its output: a secret is echoed to nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: isSecret ? nowhere : process.stderr, terminal: isTerminal })
  return new Promise((resolve, reject) => {
    lines.once('line', (line) => {
      resolve(line)
      lines.close()
      if (isSecret && isTerminal) process.stderr.write('\n')
    })
    lines.once('SIGINT', () => reject(new CliError('interrupted', { status: 130 })))
    lines.once('close', () => reject(new CliError('the input ended before an answer came', { status: EXIT.failed })))
  })
}
