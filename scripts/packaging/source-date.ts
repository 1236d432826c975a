import { releasedAtMs } from '../../agent/build-info.ts'
import { runTool } from './run-tool.ts'

/**
 * The one time that all files of a package carry, in seconds since 1970: `SOURCE_DATE_EPOCH` where it is given
 * (reproducible-builds.org), else that of the last commit, else, outside of a repository, that of the release.
 */
export async function findSourceDate(root: string, given: string | undefined): Promise<number> {
  if (given !== undefined && /^\d+$/.test(given)) return Number(given)
  const committed = await runTool('git', ['-C', root, 'log', '-1', '--format=%ct'], { hint: '' }).catch(() => '')
  return /^\d+$/.test(committed.trim()) ? Number(committed) : releasedAtMs / 1000
}
