import { expect, test } from 'vitest'
import { safeMarkup, safeText } from './safe-markup.ts'

test.each([
  ['<b>bold</b> <i>it', '<b>bold</b> <i>it</i>'],
  ['<script>alert(1)</script>x<style>y</style>', 'x'],
  ['<a href="javascript:alert(1)" onclick="x">l</a>', '<a>l</a>'],
  ['<a href="https://a.example/?x=1&amp;y">l</a>', '<a href="https://a.example/?x=1&amp;y" rel="noopener noreferrer">l</a>'],
  ['<img src=x onerror=y><form>z</form>', 'z'],
  ['<font color="red;x" style="y">a</font>', '<font>a</font>'],
  ['see https://b.example', 'see <a href="https://b.example" rel="noopener noreferrer">https://b.example</a>'],
  ['<mx-reply><b>old</b></mx-reply>new', 'new'],
  ['&lt;b&gt; <p>a<div>b</p>', '&lt;b&gt; <p>a</p><div>b<p></p></div>'],
])('%s becomes %s', async (html, safe) => expect((await safeMarkup(html)).html).toBe(safe))

test('plain text is escaped, and its links are links', () => {
  expect(safeText('<x> & https://c.example/"y\nz').html).toBe(
    '&lt;x&gt; &amp; <a href="https://c.example/" rel="noopener noreferrer">https://c.example/</a>&quot;y<br>z',
  )
})
