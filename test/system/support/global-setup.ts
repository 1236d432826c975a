import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { TestProject } from 'vitest/node'

import { findLeftovers, ownedPrefix, removeLeftovers } from './leftovers.ts'
import { buildPackage, installIntoImage } from './package-build.ts'
import { baseRootFileSystem, copyTree, removeTree } from './root-file-system.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** The package under test. */
    readonly packageFile: string
    /** A root file system with the package in it that was never booted. */
    readonly image: string
  }
}

/** Builds the package and an image with it, once for all files; at the end nothing may be left of any container. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (process.getuid?.() !== 0) throw new Error('the system tests boot containers, which only root can')
  await removeLeftovers(await findLeftovers(() => false))
  const packageFile = await buildPackage()
  const folder = join(tmpdir(), `${ownedPrefix}${process.pid}-image`)
  await mkdir(folder)
  const image = join(folder, 'root')
  try {
    await copyTree(await baseRootFileSystem(), image)
    await installIntoImage(packageFile, image)
  } catch (error) {
    await removeTree(folder)
    throw error
  }
  project.provide('packageFile', packageFile)
  project.provide('image', image)
  return async () => {
    await removeTree(folder)
    await nothingIsLeft()
  }
}

/** Removes what the tests left, and fails the run for it. */
async function nothingIsLeft(): Promise<void> {
  const left = await findLeftovers((pid) => pid === process.pid)
  await removeLeftovers(left)
  if (left.length > 0) throw new Error(`the system tests left behind: ${left.join(', ')}`)
}
