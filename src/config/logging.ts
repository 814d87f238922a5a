import { optionalText, section } from './option.ts'
import type { Values } from './option.ts'

/** What is written down. */
export const loggingOptions = section('Logging', {
  logConfig: optionalText(
    'log_config',
    'A Python `dictConfig` file in YAML: levels, handlers and file names are understood. Without it the log goes to stderr.',
  ),
})
export type LoggingConfig = Values<typeof loggingOptions.options>
