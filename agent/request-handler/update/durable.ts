import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'

const maxJsonBytes = 65_536

/** Replaces a file so that a power cut leaves the old one or the new one. In folders of root's alone. */
export function writeDurably(path: string, text: string, mode = 0o644): void {
  const temporary = `${path}.new`
  rmSync(temporary, { force: true })
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeFileSync(file, text)
    fchmodSync(file, mode)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  moveDurably(temporary, path)
}

/** Within one file system. */
export function moveDurably(from: string, to: string): void {
  renameSync(from, to)
  syncEntry(dirname(to))
}

/** Removes a file or a folder; it need not be there. */
export function removeDurably(path: string): void {
  rmSync(path, { force: true, recursive: true })
  syncEntry(dirname(path))
}

/** Makes the bytes of a file, or what was put into a folder and taken out of it, survive a power cut. */
export function syncEntry(path: string): void {
  const entry = openSync(path, 'r')
  try {
    fsyncSync(entry)
  } finally {
    closeSync(entry)
  }
}

/** An object out of a file of root's; undefined when it is not there, or is none. */
export function readObject(path: string): Readonly<Record<string, unknown>> | undefined {
  try {
    if (statSync(path).size > maxJsonBytes) return undefined
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return typeof json === 'object' && json !== null ? Object.fromEntries(Object.entries(json)) : undefined
  } catch {
    return undefined
  }
}

/** Whether a disk, or a quota, has no room left. */
export function isNoSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
