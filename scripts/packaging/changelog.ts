export interface ChangelogOptions {
  /** CHANGELOG.md */
  readonly text: string
  readonly version: string
  readonly maintainer: string
  /** In seconds since 1970. */
  readonly sourceDate: number
}

/** Debian's changelog (Policy 4.4) with one entry: what CHANGELOG.md says about its topmost version. */
export function renderChangelog({ text, version, maintainer, sourceDate }: ChangelogOptions): string {
  const [, newest = ''] = text.split(/^## .*$/m)
  const items = newest
    .trim()
    .split(/^- /m)
    .filter((item) => item.trim() !== '')
    .map((item) => wrap(item.trim().split(/\s+/)))
  const date = new Date(sourceDate * 1000).toUTCString().replace('GMT', '+0000')
  return `panorama-agent (${version}) unstable; urgency=medium\n\n${items.join('\n')}\n\n -- ${maintainer}  ${date}\n`
}

/** Debian's tools want lines of at most 80 characters. */
function wrap(words: readonly string[]): string {
  const lines = ['  *']
  for (const word of words) {
    const line = `${lines.at(-1) ?? ''} ${word}`
    if (line.length <= 80) lines[lines.length - 1] = line
    else lines.push(`    ${word}`)
  }
  return lines.join('\n')
}
