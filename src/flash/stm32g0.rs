//! STM32G0 embedded flash.
use super::*;
pub struct Stm32G0;
impl FlashDriver for Stm32G0 {
    fn unlock(&self, _: &mut MemAp, _: &Bank) -> Result<()> {
        todo!()
    }
    fn erase(&self, _: &mut MemAp, _: &Bank, _: Erase, _: &Ears) -> Result<()> {
        todo!()
    }
    fn program(&self, _: &mut MemAp, _: &Bank, _: u32, _: &[u8], _: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        todo!()
    }
    fn lock(&self, _: &mut MemAp, _: &Bank) -> Result<()> {
        todo!()
    }
    fn protection(&self, _: &mut MemAp, _: &Bank) -> Result<Vec<bool>> {
        todo!()
    }
    fn describe(&self, _: &mut MemAp, _: &Bank) -> Result<String> {
        todo!()
    }
}
