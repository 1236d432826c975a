import type * as z from 'zod'

/** Makes every name that an earlier entry has a fault. */
export function uniqueNames(entries: readonly { readonly name: string }[], context: z.RefinementCtx): void {
  const seen = new Set<string>()
  for (const [index, { name }] of entries.entries()) {
    if (seen.has(name)) {
      context.addIssue({ code: 'custom', path: [index, 'name'], message: `"${name}" is there twice` })
    }
    seen.add(name)
  }
}
