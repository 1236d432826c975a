import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Who the service runs as in an image. */
export interface ImageUser {
  /** Undefined while the image does not have the user: then only what all may read is readable. */
  readonly uid: number | undefined
  readonly gids: readonly number[]
}

export const userName = 'panorama-agent'
const dropIns = 'etc/systemd/system/panorama-agent.service.d'

/** The service's user with all its groups, those of drop-ins of its unit included, as the files of an image have them. */
export async function readImageUser(root: string): Promise<ImageUser> {
  const entry = fieldsOf(await textOf(join(root, 'etc/passwd'))).find(([name]) => name === userName)
  if (entry === undefined) return { uid: undefined, gids: [] }
  const [, , uid = '', gid = ''] = entry
  const named = await groupsOfDropIns(join(root, dropIns))
  const groups = fieldsOf(await textOf(join(root, 'etc/group')))
    .filter(([name = '', , , members = '']) => named.has(name) || members.split(',').includes(userName))
    .map(([, , id]) => Number(id))
  return { uid: Number(uid), gids: [Number(gid), ...groups] }
}

async function groupsOfDropIns(folder: string): Promise<ReadonlySet<string>> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.conf'))
  const texts = await Promise.all(names.map((name) => textOf(join(folder, name))))
  return new Set(
    texts.flatMap((text) =>
      [...text.matchAll(/^\s*SupplementaryGroups\s*=(.*)$/gm)].flatMap(([, groups = '']) => groups.trim().split(/\s+/)),
    ),
  )
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '')
}

function fieldsOf(text: string): readonly (readonly string[])[] {
  return text.split('\n').map((line) => line.split(':'))
}
