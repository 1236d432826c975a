import { parseArgs, type ParseArgsConfig } from 'node:util'

/** `parseArgs`; where the arguments are wrong, says what is and how it is used, and ends the process with 64. */
export function parseCommandLine<T extends ParseArgsConfig>(usage: string, config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
    process.exit(64)
  }
}
