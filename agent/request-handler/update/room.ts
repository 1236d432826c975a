import { existsSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'

/** Whether a package that takes so many kilobytes can be unpacked below a folder, which need not be there, beside what is there. */
export function hasRoom(folder: string, kilobytes: number): boolean {
  const { bavail, bsize } = statfsSync(nearest(folder))
  return bavail * bsize > kilobytes * 1_024 * 1.1
}

function nearest(folder: string): string {
  return existsSync(folder) || folder === dirname(folder) ? folder : nearest(dirname(folder))
}
