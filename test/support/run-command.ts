import { execFile } from 'node:child_process'

export interface CommandResult {
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end, for a minute at most. Rejects with what it printed when it does not exit with 0. */
export async function runCommand(command: string, args: readonly string[]): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>()
  execFile(command, args, { timeout: 60_000, maxBuffer: 64 * 1_048_576 }, (error, stdout, stderr) => {
    if (error === null) resolve({ stdout, stderr })
    else reject(new Error(`${command} failed: ${stderr || stdout || error.message}`, { cause: error }))
  })
  return await promise
}
