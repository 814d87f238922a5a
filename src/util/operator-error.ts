/** Something that the administrator has to mend. Its message is a whole sentence for them; the stack says nothing that they need. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError'
}
