import { chmod } from 'node:fs/promises'

const nobody = 65_534

/** Runs something that touches files in `folder` without the rights of root, where the tests have them. */
export async function asAnyUser<T>(folder: string, run: () => Promise<T>): Promise<T> {
  await chmod(folder, 0o755)
  if (process.geteuid?.() !== 0) return await run()
  process.seteuid?.(nobody)
  try {
    return await run()
  } finally {
    process.seteuid?.(0)
  }
}
