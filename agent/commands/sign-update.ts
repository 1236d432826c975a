import { readPublisherKey } from '../publishing/manifest-signature.ts'
import { signUpdate } from '../publishing/update-signature.ts'
import type { CommandContext } from './command-context.ts'

/** As on the command line. */
export interface SignUpdateCommand {
  readonly files: readonly string[]
  readonly key: string
}

/** `panorama-agent sign-update FILE...`: signs packages of the agent, for jobs that update it. */
export async function signUpdates(
  { files, key }: SignUpdateCommand,
  { stdout }: Pick<CommandContext, 'stdout'>,
): Promise<void> {
  const publisher = await readPublisherKey(key, 'update.pem')
  for (const file of files) stdout.write(`${await signUpdate(file, publisher)}\n`)
}
