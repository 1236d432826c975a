import { dlopen, getInt32 } from 'node:ffi'
import { open } from 'node:fs/promises'

const LOCK_EX = 2
const LOCK_NB = 4
const EWOULDBLOCK = 11

/**
 * Takes the lock of a file, made when it is not there, as in flock(2). Answers `taken` when another process has it. It
 * ends with its disposal or with the process, however that ends. A file system that knows no locks counts as one where
 * nobody has it. Throws what opening the file throws.
 */
export async function lockFile(path: string): Promise<AsyncDisposable | 'taken'> {
  const file = await open(path, 'a', 0o600)
  if (!isTaken(file.fd)) return file
  await file.close()
  return 'taken'
}

function isTaken(descriptor: number): boolean {
  using libc = dlopen(null, {
    flock: { arguments: ['i32', 'i32'], return: 'i32' },
    __errno_location: { arguments: [], return: 'pointer' },
  })
  const { flock, __errno_location: errnoLocation } = libc.functions
  return flock(descriptor, LOCK_EX | LOCK_NB) !== 0 && getInt32(errnoLocation()) === EWOULDBLOCK
}
