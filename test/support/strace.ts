import { runCommand } from './run-command.ts'

/** Why strace cannot be used here; undefined when it can. */
export async function whyNoStrace(): Promise<string | undefined> {
  return await runCommand('strace', ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=none', 'true']).then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
}
