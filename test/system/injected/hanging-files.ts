import { existsSync } from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

/**
 * Loaded into the agent under test: while the file `$HANG_TRIGGER` is there, opening a path that holds `$HANG_PATH`
 * never ends, as on a disk or a network share that hangs.
 */
const trigger = process.env['HANG_TRIGGER'] ?? ''
const part = process.env['HANG_PATH'] ?? ''

const { open, readFile } = promises

promises.open = async (...args) => {
  await hangsFor(args[0])
  return await open(...args)
}
promises.readFile = (async (...args: Parameters<typeof readFile>) => {
  await hangsFor(args[0])
  return await readFile(...args)
}) as typeof readFile
syncBuiltinESMExports()

async function hangsFor(path: unknown): Promise<void> {
  if (String(path).includes(part) && existsSync(trigger)) await new Promise(() => undefined)
}
