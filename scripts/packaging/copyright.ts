import type { Ingredient } from './ingredients.ts'

export interface CopyrightSources {
  /** What the package carries of others, with the texts of what is inside of them where they do not bring it. */
  readonly ingredients: readonly (Ingredient & { readonly inside?: readonly string[] })[]
}

const format = 'https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
const apache = `Licensed under the Apache License, Version 2.0. On Debian systems, the whole text
is in /usr/share/common-licenses/Apache-2.0.`

/**
 * Debian's copyright file: who holds the rights in what, and all licences in full but the one that every Debian system
 * has. Paths are those of the checkout that the package was built from.
 */
export function renderCopyright({ ingredients }: CopyrightSources): string {
  return [
    `Format: ${format}\nUpstream-Name: panorama-agent\nSource: the repository that this package was built from\n`,
    stanza({ files: '*', copyright: ['2026 the authors of panorama-agent'], license: 'Apache-2.0', text: apache }),
    ...ingredients.map((ingredient) =>
      stanza({
        files: `${ingredient.path}/*`,
        copyright: ingredient.copyright,
        license: ingredient.license,
        text: licenseText(ingredient),
        comment: `${ingredient.name} ${ingredient.version}`,
      }),
    ),
  ].join('\n')
}

function licenseText({
  license,
  licenseText,
  noticeTexts,
  inside = [],
}: CopyrightSources['ingredients'][number]): string {
  const own = license === 'Apache-2.0' ? apache : (licenseText ?? '')
  return [own, ...noticeTexts, ...inside].join('\n\n')
}

interface Stanza {
  readonly files: string
  readonly copyright: readonly string[]
  readonly license: string
  readonly text: string
  readonly comment?: string
}

function stanza({ files, copyright, license, text, comment }: Stanza): string {
  const fields = [`Files: ${files}`, `Copyright: ${copyright.join('\n ')}`, `License: ${license}`, indent(text)]
  if (comment !== undefined) fields.push(`Comment: ${comment}`)
  return `${fields.join('\n')}\n`
}

/** A field's further lines begin with a space, and an empty one is a dot (Debian Policy 5.1). */
function indent(text: string): string {
  const lines = text.replaceAll('\r', '').replaceAll('\f', '').trimEnd().split('\n')
  return lines.map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`)).join('\n')
}
